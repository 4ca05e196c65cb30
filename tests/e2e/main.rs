//! The program on real hosts. Each test makes its own, and leaves nothing.

mod lab;
