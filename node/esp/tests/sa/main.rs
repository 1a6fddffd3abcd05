//! Security associations as their users see them: both ends in memory, and an attacker between them.
#![expect(clippy::unwrap_used, reason = "helpers of tests, as in the tests themselves")]

mod bad_input;
mod esn;
mod lifetime;
mod nat;
mod replay_model;
mod round_trip;
mod sealing;
mod selectors;
mod support;
