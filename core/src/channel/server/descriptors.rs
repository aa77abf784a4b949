//! What files of protocol buffers describe: which file has a symbol, and which files it needs.

use bytes::Bytes;
use prost::{DecodeError, Message};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A `google.protobuf.FileDescriptorSet`, its files as they are.
#[derive(Clone, PartialEq, Message)]
struct FileSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

/// A `google.protobuf.FileDescriptorProto`, as far as it is looked up.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(string, repeated, tag = "3")]
    dependencies: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Structure>,
    #[prost(message, repeated, tag = "5")]
    enums: Vec<Enumeration>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    extensions: Vec<Field>,
}

/// A `DescriptorProto`.
#[derive(Clone, PartialEq, Message)]
struct Structure {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    fields: Vec<Field>,
    #[prost(message, repeated, tag = "3")]
    nested: Vec<Self>,
    #[prost(message, repeated, tag = "4")]
    enums: Vec<Enumeration>,
    #[prost(message, repeated, tag = "6")]
    extensions: Vec<Field>,
}

/// A `FieldDescriptorProto`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    extendee: String,
    #[prost(int32, tag = "3")]
    number: i32,
}

/// An `EnumDescriptorProto`, and one of its values.
#[derive(Clone, PartialEq, Eq, Message)]
struct Enumeration {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    values: Vec<Named>,
}

/// A `ServiceDescriptorProto`.
#[derive(Clone, PartialEq, Eq, Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Named>,
}

/// Whatever is looked up by its name alone.
#[derive(Clone, PartialEq, Eq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

/// Files, found by their names and by what is in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Descriptors {
    files: HashMap<Box<str>, Known>,
    /// The file of each symbol.
    symbols: HashMap<Box<str>, Box<str>>,
    /// By the message that is extended: the file of each number.
    extensions: HashMap<Box<str>, BTreeMap<i32, Box<str>>>,
}

#[derive(Clone, Debug)]
struct Known {
    bytes: Bytes,
    needs: Vec<Box<str>>,
}

impl Descriptors {
    /// Adds the files of a set, as `protoc --include_imports --descriptor_set_out` writes it. A file that is known
    /// already stays.
    pub(super) fn add(&mut self, set: &[u8]) -> Result<(), DecodeError> {
        for bytes in FileSet::decode(set)?.files {
            let file = File::decode(bytes.clone())?;
            if !self.files.contains_key(&*file.name) {
                self.add_file(file, bytes);
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: File, bytes: Bytes) {
        let name: Box<str> = file.name.into();
        let (scope, of) = (file.package, &*name);
        file.messages.into_iter().for_each(|one| self.add_message(&scope, one, of));
        file.enums.into_iter().for_each(|one| self.add_enum(&scope, one, of));
        file.extensions.into_iter().for_each(|one| self.add_extension(&scope, &one, of));
        for service in file.services {
            let full = within(&scope, &service.name);
            service
                .methods
                .iter()
                .for_each(|method| self.add_symbol(within(&full, &method.name), of));
            self.add_symbol(full, of);
        }
        let needs = file.dependencies.into_iter().map(Into::into).collect();
        self.files.insert(name, Known { bytes, needs });
    }

    fn add_message(&mut self, scope: &str, message: Structure, of: &str) {
        let full = within(scope, &message.name);
        message.nested.into_iter().for_each(|one| self.add_message(&full, one, of));
        message.enums.into_iter().for_each(|one| self.add_enum(&full, one, of));
        message.extensions.into_iter().for_each(|one| self.add_extension(&full, &one, of));
        message.fields.iter().for_each(|field| self.add_symbol(within(&full, &field.name), of));
        self.add_symbol(full, of);
    }

    /// The values of an enum stand beside it, not in it.
    fn add_enum(&mut self, scope: &str, one: Enumeration, of: &str) {
        one.values.iter().for_each(|value| self.add_symbol(within(scope, &value.name), of));
        self.add_symbol(within(scope, &one.name), of);
    }

    fn add_extension(&mut self, scope: &str, field: &Field, of: &str) {
        let extended = field.extendee.trim_start_matches('.').into();
        self.extensions.entry(extended).or_default().insert(field.number, of.into());
        self.add_symbol(within(scope, &field.name), of);
    }

    fn add_symbol(&mut self, name: String, of: &str) {
        self.symbols.entry(name.into()).or_insert_with(|| of.into());
    }

    /// The file of this name, and then all that it needs.
    pub(super) fn file(&self, name: &str) -> Option<Vec<Bytes>> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::from([name]);
        let mut left = vec![self.files.get(name)?];
        while let Some(known) = left.pop() {
            found.push(known.bytes.clone());
            let new = known.needs.iter().filter(|need| seen.insert(need));
            left.extend(new.filter_map(|need| self.files.get(need)));
        }
        Some(found)
    }

    /// The file that has a symbol, and then all that it needs.
    pub(super) fn of_symbol(&self, symbol: &str) -> Option<Vec<Bytes>> {
        self.file(self.symbols.get(symbol)?)
    }

    /// The file that extends a message under this number, and then all that it needs.
    pub(super) fn of_extension(&self, message: &str, number: i32) -> Option<Vec<Bytes>> {
        self.file(self.extensions.get(message)?.get(&number)?)
    }

    /// The numbers under which a message is extended; `None` if there is no such message.
    pub(super) fn extensions(&self, message: &str) -> Option<Vec<i32>> {
        match self.extensions.get(message) {
            Some(numbers) => Some(numbers.keys().copied().collect()),
            None => self.symbols.contains_key(message).then(Vec::new),
        }
    }
}

fn within(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, extendee: &str, number: i32) -> Field {
        Field { name: name.into(), extendee: extendee.into(), number }
    }

    /// Two files, of which the second needs the first, and one that both have nothing to do with.
    pub(in super::super) fn set() -> Vec<u8> {
        let base = File {
            name: "base.proto".into(),
            package: "shop".into(),
            messages: vec![Structure {
                name: "Item".into(),
                fields: vec![field("id", "", 1)],
                nested: vec![Structure { name: "Part".into(), ..Structure::default() }],
                enums: vec![Enumeration {
                    name: "Colour".into(),
                    values: vec![Named { name: "RED".into() }],
                }],
                ..Structure::default()
            }],
            ..File::default()
        };
        let service = File {
            name: "shop.proto".into(),
            package: "shop".into(),
            dependencies: vec!["base.proto".into(), "not/there.proto".into()],
            services: vec![Service {
                name: "Orders".into(),
                methods: vec![Named { name: "Place".into() }],
            }],
            extensions: vec![field("note", ".shop.Item", 100)],
            ..File::default()
        };
        let other = File { name: "other.proto".into(), ..File::default() };
        let files = [base, service, other].map(|file| file.encode_to_vec().into());
        FileSet { files: files.into() }.encode_to_vec()
    }

    fn descriptors() -> Descriptors {
        let mut descriptors = Descriptors::default();
        descriptors.add(&set()).unwrap();
        descriptors
    }

    fn names(files: Option<Vec<Bytes>>) -> Option<Vec<String>> {
        let name = |bytes: Bytes| File::decode(bytes).unwrap().name;
        files.map(|files| files.into_iter().map(name).collect())
    }

    #[test]
    fn a_symbol_brings_its_file_and_what_that_needs() {
        let descriptors = descriptors();
        let whole = Some(vec!["shop.proto".to_owned(), "base.proto".to_owned()]);
        for symbol in ["shop.Orders", "shop.Orders.Place", "shop.note"] {
            assert_eq!(names(descriptors.of_symbol(symbol)), whole, "{symbol}");
        }
        let base = Some(vec!["base.proto".to_owned()]);
        for symbol in
            ["shop.Item", "shop.Item.id", "shop.Item.Part", "shop.Item.Colour", "shop.Item.RED"]
        {
            assert_eq!(names(descriptors.of_symbol(symbol)), base, "{symbol}");
        }
        assert_eq!(names(descriptors.of_symbol("shop")), None);
        assert_eq!(names(descriptors.file("shop.proto")), whole);
        assert_eq!(names(descriptors.file("nothing.proto")), None);
    }

    #[test]
    fn extensions_are_found_by_the_message_that_they_extend() {
        let descriptors = descriptors();
        assert_eq!(descriptors.extensions("shop.Item"), Some(vec![100]));
        assert_eq!(descriptors.extensions("shop.Item.Part"), Some(vec![]));
        assert_eq!(descriptors.extensions("shop.Nothing"), None);
        assert!(descriptors.of_extension("shop.Item", 100).is_some());
        assert!(descriptors.of_extension("shop.Item", 101).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Descriptors::default().add(&bytes);
        }
    }
}
