//! `kill -9` of the real program at each step of what it does, and what the next start finds; disks
//! that are full or fail.
//!
//! `strace` places the kill: it stops the server at the n-th call of one kind that a thread makes,
//! before the kernel carries it out. A kill before one step is a kill after the step before it. The
//! pages that the server wrote survive such a kill, flushed or not; that they are flushed, in the
//! right order, is shown by `flushes`.

mod flushes;
mod forks;
mod scene;
mod start;
mod steps;
mod storage;
mod storm;
