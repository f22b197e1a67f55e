//! Plots as SVG and reports as one page of HTML. Pure: values in, text out; no file, clock or network.
//!
//! | file | what it is |
//! |---|---|
//! | `markup` | elements that are well-formed whatever text goes in |
//! | `unit` | how a number is shown |
//! | `scale` | from a value to a place on an axis, and the ticks |
//! | `drawing` | what a chart becomes: a picture of one width, inline or as a file of its own |
//! | `frame` | what charts have in common: title, axes, grid |
//! | `lines`, `thin` | lines over an axis: latencies by percentile, over time, by throughput |
//! | `bars` | a bar for each contestant with the spread of its runs |
//! | `dots` | ratios on a logarithmic axis with their spread, and the ratio that was asked for |
//! | `spread` | what several runs of the same thing say together |
//! | `palette` | the colours, in light and in dark |
//! | `page`, `table` | the page around the plots |
//! | `calendar` | a time as people write it |
//!
//! Invariant: whatever the values are (none, one, infinite, negative on a logarithmic axis), a picture comes out, and it is well-formed XML.

#![forbid(unsafe_code)]

pub mod bars;
pub mod calendar;
pub mod dots;
pub mod drawing;
mod frame;
pub mod lines;
pub mod markup;
pub mod page;
pub mod palette;
pub mod scale;
pub mod spread;
pub mod table;
mod thin;
pub mod unit;
