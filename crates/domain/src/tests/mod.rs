//! The core by tables of cases that a product owner could read.

mod chapters;
mod delivery;
mod gate;
mod missing;
mod people;
mod properties;
mod quarantine;
mod target;
mod world;
