//! A struct of counters that knows the names of its fields.
//!
//! Plain cells: read and written on one thread, sent elsewhere as a list of names and values.

/// Declares a struct of `Cell<u64>` counters with `values()`, every counter with its name in the order of declaration.
#[macro_export]
#[doc(hidden)]
macro_rules! declare_counters {
    ($(#[$struct_doc:meta])* $struct_name:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        $(#[$struct_doc])*
        #[derive(Debug, Default)]
        pub struct $struct_name {
            $($(#[$doc])* pub $name: std::cell::Cell<u64>,)*
        }

        impl $struct_name {
            /// Every counter with its name.
            pub fn values(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get()),)*]
            }
        }
    };
}

pub use crate::declare_counters as counters;
