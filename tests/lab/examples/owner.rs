//! A helper of the tests, no example: the program that is killed with its lab up.
//!
//! `owner FOLDER SCENARIO` brings up a lab named `orphan` in the folder, with a program on its host `a`. It
//! ends with its input, if no signal ends it before. tests/namespaces/life.rs starts it.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test that started it")]

use twinmesh_lab::{Lab, Options};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, scenario] = arguments.as_slice() else { panic!("usage: owner FOLDER SCENARIO") };
    let options = Options { root: Some(root.into()), name: Some("orphan".to_owned()), ..Options::default() };
    let lab = Lab::up(scenario.as_str(), options).unwrap();
    lab.host("a").spawn("sleeper", &["sleep", "1000"], &[]).unwrap();
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
