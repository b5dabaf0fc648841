//! The three shapes of conversion: a struct, an enum with fields, an enum without. Each names every field and
//! every variant, so that what the domain gains does not compile before it stands here.

/// A struct and a message with the same field names.
macro_rules! message {
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

/// An enum without fields.
macro_rules! choice {
    ($domain:ty => $proto:ident { $($variant:ident),* $(,)? }) => {
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
