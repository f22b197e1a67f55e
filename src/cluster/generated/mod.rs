//! Made by `scripts/generate-schemas` from `schemas/*.fbs`; nothing here is written by hand, and nothing outside
//! `store_format` looks in. FlatBuffers' accessors are unsafe inside; they run behind its verifier only.

#[rustfmt::skip]
#[allow(unsafe_code, warnings, clippy::all)]
mod metadata;

pub(super) use metadata::pagewire;

#[cfg(test)]
mod tests {
    /// The generator writes the schema's checksum into the second line. `scripts/generate-schemas --check` compares all of it.
    #[test]
    fn the_checked_in_file_is_made_of_the_present_schema() {
        let schema = crc32c::crc32c(include_bytes!("../../../schemas/metadata.fbs"));
        let second_line = include_str!("metadata.rs").lines().nth(1).unwrap();
        assert_eq!(second_line, format!("// schema crc32c {schema:08x}"), "run scripts/generate-schemas and commit the result");
    }
}
