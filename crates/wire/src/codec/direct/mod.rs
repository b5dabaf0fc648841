//! Between the domain's values and bytes, without the messages between: for the records of a log, of which many are
//! read and written one after another.
//!
//! **Invariant:** what is written is what `prost` writes of the same value, and what is read is what [`Wire`] takes of
//! what `prost` reads. Whatever is out of the ordinary (bytes of a newer format, damage, a field that stands twice) is
//! nothing here: the caller reads it through the messages, which have the words for it.
//!
//! The numbers of the fields are those of the generated [`TAGS`](crate::generated::Tagged); the form of a field is
//! that of the generated message too, so neither is said a second time.
//!
//! [`Wire`]: super::Wire

mod brought;
mod fields;
mod scalar;

pub(crate) use brought::{Brought, Repeats};
pub(crate) use fields::{Fields, Value, Writing};

use std::marker::PhantomData;
use std::sync::Arc;

use super::Resolve;

/// What reading must know besides the bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub known: &'a dyn Resolve,
    /// The input of the step that is read.
    pub brought: Brought<'a>,
}

/// A value in a field that the message has in the form `P`.
pub(crate) trait Direct<P>: Sized {
    /// What a field that is not there stands for; nothing where it must be there.
    fn absent() -> Option<Self>;

    fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self>;

    /// Writes it whatever it is: in a list, in a `oneof`, where presence tells something.
    fn write_present(&self, number: u32, out: &mut Writing);

    /// Writes it unless it is what an absent field stands for.
    fn write(&self, number: u32, out: &mut Writing) {
        self.write_present(number, out);
    }

    /// One more occurrence of the field.
    fn add(slot: &mut Option<Self>, value: Value<'_>, at: &Reading<'_>) -> Option<()> {
        if slot.is_some() {
            return None;
        }
        *slot = Some(Self::read(value, at)?);
        Some(())
    }

    /// One more occurrence of a field that is a list.
    fn add_to(list: &mut Vec<Self>, value: Value<'_>, at: &Reading<'_>) -> Option<()> {
        list.push(Self::read(value, at)?);
        Some(())
    }

    fn write_all(list: &[Self], number: u32, out: &mut Writing) {
        for value in list {
            value.write_present(number, out);
        }
    }
}

/// A value that is a message of type `P`: what stands between its length and its end.
pub(crate) trait Content<P>: Sized {
    fn read_content(bytes: &[u8], at: &Reading<'_>) -> Option<Self>;
    fn write_content(&self, out: &mut Writing);
}

/// The form of one field, found from the generated message.
pub(crate) struct Form<P>(PhantomData<P>);

/// Of a field of a message.
pub(crate) fn form<M, P>(_: fn(&M) -> &P) -> Form<P> {
    Form(PhantomData)
}

/// Of a variant of a `oneof`.
pub(crate) fn form_of<O, P>(_: fn(P) -> O) -> Form<P> {
    Form(PhantomData)
}

#[expect(clippy::unused_self, reason = "it brings the form's type")]
impl<P> Form<P> {
    pub(crate) fn add<T: Direct<P>>(
        self,
        slot: &mut Option<T>,
        value: Value<'_>,
        at: &Reading<'_>,
    ) -> Option<()> {
        T::add(slot, value, at)
    }

    pub(crate) fn end<T: Direct<P>>(self, slot: Option<T>) -> Option<T> {
        slot.or_else(T::absent)
    }

    /// The same in an event that says of itself that it repeats the input.
    pub(crate) fn end_repeating<T: Direct<P> + Repeats>(
        self,
        slot: Option<T>,
        brought: Brought<'_>,
    ) -> Option<T> {
        if T::LEFT_OUT { T::of(brought) } else { self.end(slot) }
    }

    pub(crate) fn read<T: Direct<P>>(self, value: Value<'_>, at: &Reading<'_>) -> Option<T> {
        T::read(value, at)
    }

    pub(crate) fn write<T: Direct<P>>(self, value: &T, number: u32, out: &mut Writing) {
        value.write(number, out);
    }

    /// The same in an event that repeats the input.
    pub(crate) fn write_repeating<T: Direct<P> + Repeats>(self, value: &T, number: u32, out: &mut Writing) {
        if !T::LEFT_OUT {
            value.write(number, out);
        }
    }

    pub(crate) fn write_present<T: Direct<P>>(self, value: &T, number: u32, out: &mut Writing) {
        value.write_present(number, out);
    }
}

impl<T: Direct<P>, P> Direct<Option<P>> for Option<T> {
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
        T::read(value, at).map(Some)
    }
    fn write_present(&self, number: u32, out: &mut Writing) {
        if let Some(value) = self {
            value.write_present(number, out);
        }
    }
}

impl<T: Direct<P>, P> Direct<Vec<P>> for Vec<T> {
    fn absent() -> Option<Self> {
        Some(vec![])
    }
    fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
        let mut list = vec![];
        T::add_to(&mut list, value, at)?;
        Some(list)
    }
    fn write_present(&self, number: u32, out: &mut Writing) {
        T::write_all(self, number, out);
    }
    fn add(slot: &mut Option<Self>, value: Value<'_>, at: &Reading<'_>) -> Option<()> {
        T::add_to(slot.get_or_insert_default(), value, at)
    }
}

macro_rules! within {
    ($($pointer:ident),*) => { $(
        impl<T: Direct<P>, P> Direct<P> for $pointer<T> {
            fn absent() -> Option<Self> {
                T::absent().map(Self::new)
            }
            fn read(value: Value<'_>, at: &Reading<'_>) -> Option<Self> {
                T::read(value, at).map(Self::new)
            }
            fn write_present(&self, number: u32, out: &mut Writing) {
                T::write_present(self, number, out);
            }
            fn write(&self, number: u32, out: &mut Writing) {
                T::write(self, number, out);
            }
        }
    )* };
}
within!(Arc, Box);
