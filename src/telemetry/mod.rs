//! What Daybook says about itself: metrics for Prometheus, and its own log. Not to be confused with executions' lines.

pub mod logging;
pub mod metrics;
pub mod process;
pub mod state;
