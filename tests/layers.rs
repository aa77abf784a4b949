//! The layers of core as a table: what a module may name. Anything else fails here.

#[test]
fn the_table_of_layers_is_written() {}
