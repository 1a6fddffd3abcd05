use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Node, sh};

/// A small disk of its own under a node's state folder.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// The node's agent starts again on it.
    pub fn under(node: &mut Node) -> Self {
        assert!(node.stop().success());
        let folder = node.state();
        sh(&format!("mount -t tmpfs -o size=128k none {}", folder.display()));
        let disk = Self { folder };
        node.start();
        disk
    }

    pub fn fill(&self) {
        let mut file = File::create(self.filler()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        Path::new(&self.folder).join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The agent still has its lock open there.
        sh(&format!("umount --lazy {}", self.folder.display()));
    }
}
