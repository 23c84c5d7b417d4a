//! The `zfs` command line: the only place that builds its arguments and reads what it prints.

mod command;
mod estimate;
mod parse;
mod refusal;
mod token;

pub use command::{PLACEHOLDER, SendBase, SendFlags, SendSpec, Zfs, find_zfs};
pub use estimate::{Estimate, Report, report};
pub use parse::{
    Facts, Listed, Mark, ParseError, disabled_features, read_facts, read_listed, read_source, user_objects,
};
pub use refusal::Refusal;
pub use token::{TokenFacts, read_token};
