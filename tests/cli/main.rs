//! The program from outside: an empty home, a cleared environment, no lab.

mod arrows;
mod harness;
