#![no_main]

#[path = "../src/path_checks.rs"]
mod path_checks;
#[path = "../src/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| path_checks::run(data));
