//! What changes under the reader's eyes: bars on a terminal, and the line that tells how far a comparison has come.

mod bars;
mod reading;
mod rows;
mod term;

pub(in crate::report) use bars::{Bars, suspended};
pub use reading::{Progress, reading};
