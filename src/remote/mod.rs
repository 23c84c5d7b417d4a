//! The other host: where it is, how it is reached, and what is said to it.

mod asked;
pub mod bootstrap;
mod channel;
pub mod client;
pub mod direct;
mod event;
mod examined;
mod frames;
mod greeting;
mod helpers;
pub mod keep;
mod launch;
pub mod link;
mod open;
mod pipes;
pub mod plain;
mod process;
mod prompt;
pub mod source;
pub mod ssh;
mod stream;
mod stream_end;
pub mod target;
