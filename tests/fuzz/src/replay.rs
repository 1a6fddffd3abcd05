//! The committed corpus of a target, run through it again: for the tests of the crate that it fuzzes.

use std::fs;
use std::path::PathBuf;

pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus is committed") {
        let input = entry.and_then(|entry| fs::read(entry.path())).expect("its files can be read");
        run(&input);
        inputs += 1;
    }
    assert!(inputs > 10, "the corpus of {target} is gone");
}
