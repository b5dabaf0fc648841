//! The three shapes of conversion: a struct, an enum with fields, an enum without. Each names every field and
//! every variant, so that what the domain gains does not compile before it stands here.
//!
//! What stands in the records of a log goes between bytes and values directly too: `message!` and `oneof!` do both,
//! `wire_message!` and `wire_oneof!` only the conversion.

/// A struct and a message with the same field names.
macro_rules! message {
    ($domain:ty => $proto:ident { $($field:ident),* $(,)? }) => {
        wire_message!($domain => $proto { $($field),* });
        content!($domain => $proto);

        impl $crate::codec::direct::Content<v1::$proto> for $domain {
            fn read_content(bytes: &[u8], at: &$crate::codec::direct::Reading<'_>) -> Option<Self> {
                Some(read_fields!(v1::$proto, bytes, at, Self, [$($field)*]))
            }
            fn write_content(&self, out: &mut $crate::codec::direct::Writing) {
                let Self { $($field),* } = self;
                write_fields!(v1::$proto, out, [$($field)*])
            }
        }
    };
}

macro_rules! wire_message {
    ($domain:ty => $proto:ident { $($field:ident),* $(,)? }) => {
        impl $crate::codec::Wire<v1::$proto> for $domain {
            fn put(&self) -> v1::$proto {
                let Self { $($field),* } = self;
                v1::$proto { $($field: $crate::codec::Wire::put($field)),* }
            }
            fn take(
                proto: v1::$proto,
                known: &dyn $crate::codec::Resolve,
                _: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                let v1::$proto { $($field),* } = proto;
                Ok(Self { $($field: $crate::codec::Wire::take($field, known, $crate::codec::Place {
                    message: stringify!($proto),
                    field: stringify!($field),
                })?),* })
            }
        }
        required!($domain => $proto);
    };
}

/// A message that must be present where it is a field.
macro_rules! required {
    ($domain:ty => $proto:ident) => {
        impl $crate::codec::Wire<Option<v1::$proto>> for $domain {
            fn put(&self) -> Option<v1::$proto> {
                Some($crate::codec::Wire::put(self))
            }
            fn take(
                proto: Option<v1::$proto>,
                known: &dyn $crate::codec::Resolve,
                at: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                match proto {
                    Some(proto) => $crate::codec::Wire::take(proto, known, at),
                    None => Err($crate::codec::Error::Missing(at)),
                }
            }
        }
    };
}

/// An enum and a message of one `oneof`. Variants with fields have a nested message of the same field names,
/// where `| flag` is a field that only the record knows; those of one whole value come after `;`.
macro_rules! oneof {
    ($domain:ty => $proto:ident . $slot:ident as $module:ident :: $oneof:ident {
        $($variant:ident { $($field:ident),* $(| $flag:ident)? })*
        $(; $($whole:ident)*)?
    }) => {
        wire_oneof!($domain => $proto . $slot as $module :: $oneof {
            $($variant { $($field),* $(| $flag)? })*
            $(; $($whole)*)?
        });
        content!($domain => $proto);

        impl $crate::codec::direct::Content<v1::$proto> for $domain {
            fn read_content(bytes: &[u8], at: &$crate::codec::direct::Reading<'_>) -> Option<Self> {
                let variants = <v1::$proto as $crate::generated::Tagged>::TAGS;
                let mut found: Option<Self> = None;
                let mut fields = $crate::codec::direct::Fields(bytes);
                while !fields.is_over() {
                    let (number, value) = fields.next()?;
                    let read = match number {
                        $(number if number == variants.$variant => read_fields!(
                            v1::$module::$variant, value.bytes()?, at, Self::$variant, [$($field)*] $([$flag])?
                        ),)*
                        $($(number if number == variants.$whole => {
                            $crate::codec::direct::form_of(v1::$module::$oneof::$whole)
                                .read(value, at)
                                .map(Self::$whole)?
                        })*)?
                        _ => continue,
                    };
                    if found.replace(read).is_some() {
                        return None;
                    }
                }
                found
            }
            fn write_content(&self, out: &mut $crate::codec::direct::Writing) {
                let variants = <v1::$proto as $crate::generated::Tagged>::TAGS;
                match self {
                    $(Self::$variant { $($field),* } => out.within(variants.$variant, |out| {
                        write_fields!(v1::$module::$variant, out, [$($field)*] $([$flag])?)
                    }),)*
                    $($(Self::$whole(whole) => $crate::codec::direct::form_of(v1::$module::$oneof::$whole)
                        .write_present(whole, variants.$whole, out),)*)?
                }
            }
        }
    };
}

macro_rules! wire_oneof {
    ($domain:ty => $proto:ident . $slot:ident as $module:ident :: $oneof:ident {
        $($variant:ident { $($field:ident),* $(| $flag:ident)? })*
        $(; $($whole:ident)*)?
    }) => {
        impl $crate::codec::Wire<v1::$proto> for $domain {
            fn put(&self) -> v1::$proto {
                let variant = match self {
                    $(Self::$variant { $($field),* } => {
                        v1::$module::$oneof::$variant(v1::$module::$variant {
                            $($field: $crate::codec::Wire::put($field),)*
                            $($flag: false)?
                        })
                    })*
                    $($(Self::$whole(whole) => {
                        v1::$module::$oneof::$whole($crate::codec::Wire::put(whole))
                    })*)?
                };
                v1::$proto { $slot: Some(variant) }
            }
            fn take(
                proto: v1::$proto,
                known: &dyn $crate::codec::Resolve,
                _: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                match proto.$slot {
                    $(Some(v1::$module::$oneof::$variant(v1::$module::$variant {
                        $($field,)* $($flag: _)?
                    })) => {
                        Ok(Self::$variant { $($field: $crate::codec::Wire::take($field, known,
                            $crate::codec::Place {
                                message: concat!(stringify!($proto), ".", stringify!($variant)),
                                field: stringify!($field),
                            })?),* })
                    })*
                    $($(Some(v1::$module::$oneof::$whole(whole)) => {
                        Ok(Self::$whole($crate::codec::Wire::take(whole, known, $crate::codec::Place {
                            message: stringify!($proto),
                            field: stringify!($whole),
                        })?))
                    })*)?
                    None => Err($crate::codec::Error::UnknownVariant(stringify!($proto))),
                }
            }
        }
        required!($domain => $proto);

        #[cfg(test)]
        impl $crate::codec::Variants for $domain {
            const NAMES: &'static [&'static str] =
                &[$(stringify!($variant),)* $($(stringify!($whole)),*)?];
        }
    };
}

/// Two values in a message of two fields.
macro_rules! pair {
    ($first:ty, $second:ty => $proto:ident { $one:ident, $two:ident }) => {
        impl $crate::codec::Wire<v1::$proto> for ($first, $second) {
            fn put(&self) -> v1::$proto {
                v1::$proto {
                    $one: $crate::codec::Wire::put(&self.0),
                    $two: $crate::codec::Wire::put(&self.1),
                }
            }
            fn take(
                proto: v1::$proto,
                known: &dyn $crate::codec::Resolve,
                _: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                let at = |field| $crate::codec::Place { message: stringify!($proto), field };
                let one = $crate::codec::Wire::take(proto.$one, known, at(stringify!($one)))?;
                Ok((one, $crate::codec::Wire::take(proto.$two, known, at(stringify!($two)))?))
            }
        }
        content!(($first, $second) => $proto);

        impl $crate::codec::direct::Content<v1::$proto> for ($first, $second) {
            fn read_content(bytes: &[u8], at: &$crate::codec::direct::Reading<'_>) -> Option<Self> {
                struct Pair {
                    $one: $first,
                    $two: $second,
                }
                let pair = read_fields!(v1::$proto, bytes, at, Pair, [$one $two]);
                Some((pair.$one, pair.$two))
            }
            fn write_content(&self, out: &mut $crate::codec::direct::Writing) {
                let ($one, $two) = self;
                write_fields!(v1::$proto, out, [$one $two])
            }
        }
    };
}

/// A message in a field of another, written and read directly.
macro_rules! content {
    ($domain:ty => $proto:ident) => {
        content!(@ $domain => v1::$proto, v1::$proto);
        content!(@ $domain => v1::$proto, Option<v1::$proto>);
    };
    (@ $domain:ty => $proto:ty, $form:ty) => {
        impl $crate::codec::direct::Direct<$form> for $domain {
            fn absent() -> Option<Self> {
                None
            }
            fn read(
                value: $crate::codec::direct::Value<'_>,
                at: &$crate::codec::direct::Reading<'_>,
            ) -> Option<Self> {
                $crate::codec::direct::Content::<$proto>::read_content(value.bytes()?, at)
            }
            fn write_present(&self, number: u32, out: &mut $crate::codec::direct::Writing) {
                out.within(number, |out| $crate::codec::direct::Content::<$proto>::write_content(self, out));
            }
        }
    };
}

/// The fields of a message, each at most once, and what they make: within a function that gives nothing when they
/// make none. With a flag the fields may be left to the input.
macro_rules! read_fields {
    ($proto:ty, $bytes:expr, $at:ident, $($build:ident)::+, [$($field:ident)*]) => {{
        let _tags = <$proto as $crate::generated::Tagged>::TAGS;
        let mut fields = $crate::codec::direct::Fields($bytes);
        $(let mut $field = None;)*
        while !fields.is_over() {
            let (_number, _value) = fields.next()?;
            $(if _number == _tags.$field {
                form!($proto, $field).add(&mut $field, _value, $at)?;
                continue;
            })*
        }
        $($build)::+ { $($field: form!($proto, $field).end($field)?),* }
    }};
    ($proto:ty, $bytes:expr, $at:ident, $($build:ident)::+, [$($field:ident)*] [$flag:ident]) => {{
        let tags = <$proto as $crate::generated::Tagged>::TAGS;
        let mut fields = $crate::codec::direct::Fields($bytes);
        $(let mut $field = None;)*
        let mut repeats = false;
        while !fields.is_over() {
            let (number, value) = fields.next()?;
            $(if number == tags.$field {
                form!($proto, $field).add(&mut $field, value, $at)?;
                continue;
            })*
            if number == tags.$flag {
                repeats = value.number()? != 0;
            }
        }
        if repeats {
            $($build)::+ { $($field: form!($proto, $field).end_repeating($field, $at.brought)?),* }
        } else {
            $($build)::+ { $($field: form!($proto, $field).end($field)?),* }
        }
    }};
}

/// The form of a message's field.
macro_rules! form {
    ($proto:ty, $field:ident) => {
        $crate::codec::direct::form(|message: &$proto| &message.$field)
    };
}

/// Writes the fields of a message, which stand here in the order of their numbers.
macro_rules! write_fields {
    ($proto:ty, $out:ident, [$($field:ident)*]) => {{
        let _tags = <$proto as $crate::generated::Tagged>::TAGS;
        const { ascending!($proto, [$($field)*]) }
        let _out = $out;
        $(form!($proto, $field).write($field, _tags.$field, _out);)*
    }};
    ($proto:ty, $out:ident, [$($field:ident)*] [$flag:ident]) => {{
        let tags = <$proto as $crate::generated::Tagged>::TAGS;
        const { ascending!($proto, [$($field)* $flag]) }
        if $out.repeats {
            $(form!($proto, $field)
                .write_repeating($field, tags.$field, $out);)*
            form!($proto, $flag).write(&true, tags.$flag, $out);
        } else {
            $(form!($proto, $field).write($field, tags.$field, $out);)*
        }
    }};
}

/// As `prost` writes them.
macro_rules! ascending {
    ($proto:ty, [$($field:ident)*]) => {{
        let _tags = <$proto as $crate::generated::Tagged>::TAGS;
        let mut _last = 0;
        $(
            assert!(_last < _tags.$field, concat!(stringify!($field), " stands behind a field of a higher number"));
            _last = _tags.$field;
        )*
    }};
}

/// An enum without fields.
macro_rules! choice {
    ($domain:ty => $proto:ident { $($variant:ident),* $(,)? }) => {
        impl $crate::codec::direct::Direct<i32> for $domain {
            fn absent() -> Option<Self> {
                None
            }
            fn read(
                value: $crate::codec::direct::Value<'_>,
                _: &$crate::codec::direct::Reading<'_>,
            ) -> Option<Self> {
                match v1::$proto::try_from(value.number()? as i32) {
                    $(Ok(v1::$proto::$variant) => Some(Self::$variant),)*
                    Ok(v1::$proto::Unspecified) | Err(_) => None,
                }
            }
            fn write_present(&self, number: u32, out: &mut $crate::codec::direct::Writing) {
                out.number(number, $crate::codec::Wire::put(self) as u64);
            }
        }

        impl $crate::codec::Wire<i32> for $domain {
            fn put(&self) -> i32 {
                match self {
                    $(Self::$variant => v1::$proto::$variant as i32),*
                }
            }
            fn take(
                proto: i32,
                _: &dyn $crate::codec::Resolve,
                place: $crate::codec::Place,
            ) -> Result<Self, $crate::codec::Error> {
                match v1::$proto::try_from(proto) {
                    $(Ok(v1::$proto::$variant) => Ok(Self::$variant),)*
                    Ok(v1::$proto::Unspecified) => Err($crate::codec::Error::Missing(place)),
                    Err(_) => Err($crate::codec::Error::UnknownValue { place, value: proto }),
                }
            }
        }
    };
}
