//! Derive macros of seawall and its kinds.
