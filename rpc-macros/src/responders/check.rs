//! Which methods can answer a command.

use proc_macro2::Span;
use syn::{GenericParam, Receiver, ReceiverKind, Safety, Signature, Type};

use super::parse::{Block, Method, written};
use crate::errors::Errors;

/// Finds everything that keeps the marked methods from being responders.
pub(super) fn check(block: &Block, errors: &mut Errors) {
    check_block(block, errors);
    if block.item.trait_.is_some() {
        // What its methods have to look like is for the trait to say.
        return;
    }
    for (index, method) in block.methods.iter().enumerate() {
        check_keywords(&method.sig, errors);
        check_receiver(&method.sig, errors);
        check_arguments(method, errors);
        check_double(method, block.methods.get(..index).unwrap_or_default(), errors);
    }
}

fn check_block(block: &Block, errors: &mut Errors) {
    if let Some((path, _)) = &block.item.trait_ {
        errors.at(
            path,
            "responders are methods of the type itself, so `#[responders]` goes before an `impl` \
             without a trait",
        );
    }
    for param in &block.item.generics.params {
        if let GenericParam::Lifetime(param) = param {
            errors.at(param, "a responder is shared by connections of any age, and cannot borrow");
        }
    }
    if !block.marked && errors.is_empty() {
        errors.at_span(
            Span::call_site(),
            "no method of this block answers a command; put `#[responder]` before those that do",
        );
    }
}

fn check_keywords(sig: &Signature, errors: &mut Errors) {
    if sig.asyncness.is_none() {
        let name = &sig.ident;
        errors.at(sig.fn_token, format_args!("a responder is asynchronous: `async fn {name}`"));
    }
    if let Safety::Unsafe(token) = &sig.safety {
        errors.at(token, "a responder is called for peers, who cannot promise what `unsafe` asks");
    }
    for param in &sig.generics.params {
        if let GenericParam::Type(_) | GenericParam::Const(_) = param {
            errors.at(param, "a responder answers one command, so it has no parameters");
        }
    }
}

fn check_receiver(sig: &Signature, errors: &mut Errors) {
    match sig.receiver() {
        Some(Receiver { kind: ReceiverKind::Reference(_, _, None), .. }) => {}
        Some(receiver) => errors.at(
            receiver,
            "responders run side by side and share what they belong to, so they take `&self`",
        ),
        None => errors.at(&sig.ident, "a responder takes `&self` first, and then the command"),
    }
}

fn check_arguments(method: &Method, errors: &mut Errors) {
    let mut arguments = method.arguments();
    match arguments.next() {
        Some(command) => {
            if let Type::Reference(ty) = &*command.ty {
                errors.at(ty, "a responder takes its command by value, as it came from the wire");
            }
        }
        None if method.sig.receiver().is_none() => {}
        None => errors.at(
            &method.sig.ident,
            "a responder takes the command that it answers: the type of its first argument after \
             `&self` is what a peer asks for",
        ),
    }
    for argument in arguments.clone() {
        if let Type::Reference(ty) = &*argument.ty
            && ty.mutability.is_some()
        {
            errors.at(ty, "a responder learns who asks, and does not change it: `peer: &Peer`");
        }
    }
    let peers = arguments.clone().filter(|argument| matches!(&*argument.ty, Type::Reference(_)));
    for surplus in peers.skip(1) {
        errors.at(surplus, "there is one who asks, and this responder takes it already");
    }
}

fn check_double(method: &Method, earlier: &[Method], errors: &mut Errors) {
    let Some(command) = method.command() else {
        return;
    };
    // With conditions on them, only one of the two may be there.
    let double = earlier.iter().find(|earlier| {
        earlier.cfgs.is_empty()
            && method.cfgs.is_empty()
            && earlier.command().map(written) == Some(written(command))
    });
    if let Some(double) = double {
        errors.at(
            command,
            format_args!(
                "`{}` has a responder in this block already: `{}`",
                written(command),
                double.sig.ident
            ),
        );
    }
}
