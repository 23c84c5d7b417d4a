//! The pure core: takes what both sides have and gives steps or typed conflicts. No I/O, no clock, no async here.

mod bookmark;
mod calendar;
mod conflict;
mod cure;
mod diff;
mod filter;
mod flags;
mod foresee;
mod inventory;
mod item;
mod iv_sets;
mod last;
mod missing;
#[cfg(test)]
pub(crate) mod model;
mod names;
mod naming;
mod negotiate;
mod nothing;
mod placement;
mod prune;
mod rename;
mod retention;
mod skip;
mod snapshot;
mod solve;
mod status;
#[cfg(test)]
mod tests;
mod thin;
mod unread;

pub use bookmark::{Tag, Tags, known_targets};
pub use calendar::{Calendar, Period, Unit, Zone, ZoneError, same_window};
pub use conflict::{Conflict, ConflictKind, Dates, Vain};
pub use cure::{Cure, Cures, Remedy, Restore};
pub use diff::{Attempt, Base, BaseKind, Step, Verdict, diff};
pub use filter::{Filter, FilterError};
pub use flags::TargetLimits;
pub use foresee::Blocked;
pub use inventory::{Kind, ResumePoint, SourceDataset, TargetDataset, Version, Versions};
pub use item::SourceFacts;
pub use last::{Last, LastResult, LastRun};
pub use missing::{Doomed, Due, Mirror, Missing, Notes, Put, Stays as StaysThere};
pub use names::Misfit;
pub use naming::{Class, DEFAULT_FORMAT, Format, FormatError, Naming, Stamp};
pub use negotiate::{EncryptedAs, EncryptionRules, Listing, Negotiation};
pub use nothing::Nothing;
pub use placement::{Placement, Plan, PlannedDataset};
pub use prune::{Choice, Cut, Has, Peer, prune_source, prune_target, undated};
pub use rename::{Guess, Move};
pub use retention::{Aged, KeptBy, PerClass, Periods, RuleError, Rules};
pub use snapshot::{MAX_ARGV, PoolSnapshots, Selection, SnapshotError, SnapshotPlan, State as SnapshotState, Tree};
pub use status::{Clash, DatasetStatus, Level, Limits, Moment, Side, State, Status, TargetStatus, compare};
pub use thin::{Needed, Scope, Stays, needed_by, thin};
