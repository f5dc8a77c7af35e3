//! What the attributes of all macros have in common: `name(option, option = value, …)`.

use proc_macro2::TokenTree;
use syn::meta::ParseNestedMeta;
use syn::parse::ParseStream;
use syn::{Attribute, Path, Token, parse_quote};

use crate::errors::Errors;

/// Hands every option of the attributes called `name` to `take`, and tells whether all could be
/// read.
///
/// An attribute that cannot be read is reported and given up; the others are still read.
pub(crate) fn options(
    attrs: &[Attribute],
    name: &str,
    errors: &mut Errors,
    mut take: impl FnMut(&ParseNestedMeta<'_>, &mut Errors) -> syn::Result<()>,
) -> bool {
    let mut readable = true;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(name)) {
        let read = attr.parse_nested_meta(|meta| take(&meta, errors));
        readable &= errors.keep(read).is_some();
    }
    readable
}

/// Keeps the value of an option, which may be given only once.
pub(crate) fn once<T>(
    slot: &mut Option<T>,
    value: T,
    meta: &ParseNestedMeta<'_>,
    errors: &mut Errors,
) {
    if slot.is_some() {
        errors.at(&meta.path, format_args!("`{}` is given twice", written(&meta.path)));
    } else {
        *slot = Some(value);
    }
}

/// Reports an option that there is not, and goes on with the next.
pub(crate) fn unknown(
    meta: &ParseNestedMeta<'_>,
    known: &str,
    errors: &mut Errors,
) -> syn::Result<()> {
    let message = format_args!("there is no option `{}` here, only {known}", written(&meta.path));
    errors.at(&meta.path, message);
    skip_value(meta.input)
}

fn skip_value(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

fn written(path: &Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}

/// Where the generated code finds `amp-proto`: `#[amp(crate = path)]` on the type.
pub(crate) fn root(attrs: &[Attribute], errors: &mut Errors) -> Path {
    let mut root = None;
    options(attrs, "amp", errors, |meta, errors| root_option(&mut root, meta, errors));
    root.unwrap_or_else(default_root)
}

/// The option `crate = path`, and no other.
pub(crate) fn root_option(
    root: &mut Option<Path>,
    meta: &ParseNestedMeta<'_>,
    errors: &mut Errors,
) -> syn::Result<()> {
    if !meta.path.is_ident("crate") {
        return unknown(meta, "`crate = path::of::amp_proto`", errors);
    }
    let path = meta.value()?.call(Path::parse_mod_style)?;
    once(root, path, meta, errors);
    Ok(())
}

pub(crate) fn default_root() -> Path {
    parse_quote!(::amp_proto)
}
