//! Reads a struct and its fields.

use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Fields, Generics, Ident, LitStr, Path, Type};

use crate::errors::Errors;
use crate::{attributes, docs};

/// A struct whose fields travel in a box.
pub(crate) struct Struct<'a> {
    pub(crate) root: Path,
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) shape: Shape<'a>,
}

/// What stands behind the name.
pub(crate) enum Shape<'a> {
    /// Named fields, or none.
    Fields(Vec<Field<'a>>),
    /// Fields without names.
    Tuple(&'a syn::FieldsUnnamed),
    /// Not a struct at all.
    Enum(syn::Token![enum]),
    /// Not a struct at all.
    Union(syn::Token![union]),
}

/// One field, and the key it travels under.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) doc: String,
    /// What stands in `#[amp(key = "…")]`.
    pub(crate) renamed: Option<LitStr>,
}

impl Field<'_> {
    /// The key on the wire.
    pub(crate) fn key(&self) -> String {
        match &self.renamed {
            Some(key) => key.value(),
            None => self.ident.unraw().to_string(),
        }
    }
}

impl<'a> Struct<'a> {
    /// The fields, as far as they have names.
    pub(crate) fn fields(&self) -> &[Field<'a>] {
        match &self.shape {
            Shape::Fields(fields) => fields,
            Shape::Tuple(_) | Shape::Enum(_) | Shape::Union(_) => &[],
        }
    }
}

/// Reads the input of a derive.
pub(crate) fn parse<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Struct<'a> {
    let DeriveInput { attrs, ident, generics, data, .. } = input;
    let root = attributes::root(attrs, errors);
    let shape = match data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => Shape::Fields(
                fields.named.iter().filter_map(|field| parse_field(field, errors)).collect(),
            ),
            Fields::Unit => Shape::Fields(Vec::new()),
            Fields::Unnamed(fields) => Shape::Tuple(fields),
        },
        Data::Enum(data) => Shape::Enum(data.enum_token),
        Data::Union(data) => Shape::Union(data.union_token),
    };
    Struct { root, ident, generics, shape }
}

fn parse_field<'a>(field: &'a syn::Field, errors: &mut Errors) -> Option<Field<'a>> {
    let syn::Field { attrs, ident, ty, .. } = field;
    let doc = docs::first_paragraph(attrs);
    Some(Field { ident: ident.as_ref()?, ty, doc, renamed: renamed(attrs, errors) })
}

fn renamed(attrs: &[Attribute], errors: &mut Errors) -> Option<LitStr> {
    let mut key = None;
    attributes::options(attrs, "amp", errors, |meta, errors| {
        if !meta.path.is_ident("key") {
            return attributes::unknown(meta, "`key = \"wire-name\"`", errors);
        }
        let value = meta.value()?.parse::<LitStr>()?;
        attributes::once(&mut key, value, meta, errors);
        Ok(())
    });
    key
}
