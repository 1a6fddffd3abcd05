//! A migration that is new is compiled in.

fn main() {
    println!("cargo::rerun-if-changed=../../migrations/sqlite");
}
