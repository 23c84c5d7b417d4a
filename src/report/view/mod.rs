//! What a command has found or done, as a whole: tables, JSON lines, metrics.

pub mod dry_run;
pub mod jobs;
pub mod prune;
pub mod status;
pub mod targets;
pub mod verify;
