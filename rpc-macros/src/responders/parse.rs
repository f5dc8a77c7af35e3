//! Reads an `impl` block and its marked methods.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::{
    Attribute, FnArg, ImplItem, Item, ItemImpl, Meta, PatType, Path, Signature, Type, meta,
    parse_quote,
};

use crate::attributes;
use crate::errors::Errors;

/// An `impl` block with responders in it.
pub(crate) struct Block {
    pub(crate) root: Path,
    /// The block without its `#[responder]`s.
    pub(crate) item: ItemImpl,
    pub(crate) methods: Vec<Method>,
    /// Whether anything was marked, method or not.
    pub(super) marked: bool,
}

/// A method with `#[responder]`.
pub(crate) struct Method {
    pub(crate) cfgs: Vec<Attribute>,
    pub(super) sig: Signature,
}

impl Method {
    /// The arguments after `self`.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &PatType> + Clone {
        self.sig.inputs.iter().filter_map(|argument| match argument {
            FnArg::Typed(argument) => Some(argument),
            FnArg::Receiver(_) => None,
        })
    }

    /// The type of the command, which is the first argument's.
    pub(crate) fn command(&self) -> Option<&Type> {
        self.arguments().next().map(|argument| &*argument.ty)
    }
}

/// Reads what stands in the brackets of `#[responders(…)]`.
pub(super) fn options(options: TokenStream, errors: &mut Errors) -> Path {
    let mut root = None;
    let parser = meta::parser(|meta| attributes::root_option(&mut root, &meta, errors));
    let read = parser.parse2(options);
    errors.keep(read);
    root.unwrap_or_else(attributes::default_root)
}

/// Reads the block as a block.
pub(super) fn block(item: TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2::<Item>(item)? {
        Item::Impl(block) => Ok(block),
        _ => Err(syn::Error::new(
            Span::call_site(),
            "`#[responders]` goes before an `impl` block, whose methods answer commands",
        )),
    }
}

/// Finds the marked methods, and takes the marks off.
pub(super) fn parse(root: Path, mut item: ItemImpl, errors: &mut Errors) -> Block {
    let mut methods = Vec::new();
    let mut marked = false;
    for item in &mut item.items {
        let Some(attrs) = attrs_of(item) else {
            continue;
        };
        let marks = attrs.extract_if(.., |attr| is_mark(attr.path())).collect::<Vec<_>>();
        let Some((mark, others)) = marks.split_first() else {
            continue;
        };
        marked = true;
        for other in others {
            errors.at(other, "this method is marked already");
        }
        if !matches!(mark.meta, Meta::Path(_)) {
            errors.at(&mark.meta, "`#[responder]` takes no options: the argument's type says all");
        }
        let ImplItem::Fn(method) = item else {
            errors.at(mark, "only a method can answer a command");
            continue;
        };
        methods.push(Method { cfgs: cfgs_of(&method.attrs), sig: method.sig.clone() });
        // A responder is async whether it waits or not; that is not the user's choice.
        method.attrs.push(parse_quote! {
            #[allow(
                clippy::unused_async,
                reason = "a responder is async, even one that never waits",
            )]
        });
    }
    Block { root, item, methods, marked }
}

fn is_mark(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "responder")
}

/// What decides whether the code is there at all decides the same for what is written about it.
pub(crate) fn cfgs_of(attrs: &[Attribute]) -> Vec<Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg")).cloned().collect()
}

fn attrs_of(item: &mut ImplItem) -> Option<&mut Vec<Attribute>> {
    match item {
        ImplItem::Const(item) => Some(&mut item.attrs),
        ImplItem::Fn(item) => Some(&mut item.attrs),
        ImplItem::Type(item) => Some(&mut item.attrs),
        ImplItem::Macro(item) => Some(&mut item.attrs),
        _ => None,
    }
}

/// A type as it is written, for telling whether two are the same.
pub(crate) fn written(ty: &Type) -> String {
    ty.to_token_stream().to_string()
}
