//! The other host: where it is, how it is reached, and what is said to it.

mod asked;
pub mod client;
mod event;
mod greeting;
pub mod helper;
mod process;
mod prompt;
pub mod pump;
pub mod ssh;
mod stream;
pub mod target;
pub mod wire;
