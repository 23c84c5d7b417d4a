//! Carries plans out: connections, channels, processes, signals. What is to be done is decided in [`crate::plan`] and
//! [`machine`]; here it happens.

mod ask;
mod dry_run;
mod fleet;
mod lock;
mod machine;
mod push;
mod ready;
mod resume;
mod run;
mod signals;
mod source;

pub use push::push;
