//! The pure core: takes what both sides have and gives steps or typed conflicts. No I/O, no clock, no async here.

mod conflict;
mod diff;
mod filter;
mod flags;
mod inventory;
#[cfg(test)]
pub(crate) mod model;
mod negotiate;
mod placement;
#[cfg(test)]
mod tests;

pub use conflict::{Conflict, ConflictKind};
pub use diff::{Attempt, Base, BaseKind, Step, Verdict, diff};
pub use filter::{Filter, FilterError};
pub use flags::TargetLimits;
pub use inventory::{Kind, ResumePoint, SourceDataset, TargetDataset, Version, Versions};
pub use negotiate::{Negotiation, PlanError, SourceFacts};
pub use placement::{Placement, Plan, PlannedDataset};
