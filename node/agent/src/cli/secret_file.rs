//! Files with keys in them.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::CommandError;

/// A longer request would be refused anyway.
const MOST_TEXT: u64 = 128 * 1024;

/// The file's name for messages, and its text; `-` is standard input.
pub(super) fn read(file: &Path) -> Result<(String, Zeroizing<String>), CommandError> {
    let (name, text) = if file.as_os_str() == "-" {
        ("standard input".to_owned(), read_text(&mut io::stdin().lock()))
    } else {
        (file.display().to_string(), open(file))
    };
    let text = text.map_err(|source| CommandError::Read { file: name.clone(), source })?;
    Ok((name, text))
}

fn open(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        let path = path.display();
        writeln!(
            io::stderr(),
            "warning: {path} has keys in it and is open to others (mode {mode:04o}): `chmod 600 {path}`"
        )
        .ok();
    }
    read_text(&mut file)
}

/// Without growth, which would leave copies of keys behind.
fn read_text(from: &mut impl Read) -> io::Result<Zeroizing<String>> {
    let room = usize::try_from(MOST_TEXT).unwrap_or(usize::MAX).saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    from.take(MOST_TEXT + 1).read_to_string(&mut text)?;
    if text.len() >= room {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is longer than {MOST_TEXT} bytes: divide it"),
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_or_too_long_is_refused() {
        assert_eq!(read_text(&mut "[[sa]]".as_bytes()).unwrap().as_str(), "[[sa]]");
        assert!(read_text(&mut [0xff, 0xfe].as_slice()).is_err());
        let error = read_text(&mut io::repeat(b'#')).unwrap_err();
        assert!(error.to_string().contains("divide it"), "{error}");
    }
}
