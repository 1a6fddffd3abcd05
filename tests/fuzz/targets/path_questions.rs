#![no_main]

#[path = "../src/path_questions.rs"]
mod path_questions;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| path_questions::run(data));
