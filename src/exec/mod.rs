//! Carries plans out: connections, channels, processes, signals. What is to be done is decided in [`crate::plan`] and
//! [`machine`]; here it happens.

mod ask;
mod bookmarks;
mod connections;
mod cron;
mod dates;
mod doctor;
mod dry_run;
mod foresee;
mod hook;
mod inquire;
mod jobs;
mod known;
mod link;
mod lock;
pub(crate) mod machine;
mod missing;
mod nearest;
mod needs;
mod notice;
mod parts;
mod proof;
mod prune;
mod push;
mod ready;
mod recorded;
pub mod restore;
mod resume;
mod run;
mod signals;
mod snapshot;
mod source;
mod status;
mod stop;
mod targets;
mod verify;

pub use cron::cron;
pub use doctor::doctor;
pub use jobs::jobs;
pub use known::{forget, targets};
pub use parts::{Report, Told};
pub use prune::prune;
pub use push::{Pushed, push};
pub use snapshot::snapshot;
pub use status::status;
pub use verify::verify;
