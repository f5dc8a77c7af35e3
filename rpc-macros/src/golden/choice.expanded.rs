#[automatically_derived]
impl ::amp_proto::Argument for Milk {
    const TYPE: ::amp_proto::ArgumentType = ::amp_proto::ArgumentType::Choice(
        &["cow", "ewe", "goat"],
    );
    fn encode(
        &self,
        out: &mut ::amp_proto::__private::Vec<u8>,
    ) -> ::core::result::Result<(), ::amp_proto::EncodeError> {
        let word: &[u8] = match *self {
            Self::Cow => b"cow",
            Self::Ewe => b"ewe",
            Self::Goat => b"goat",
        };
        out.extend_from_slice(word);
        ::core::result::Result::Ok(())
    }
    fn decode(
        value: ::amp_proto::Value<'_>,
    ) -> ::core::result::Result<Self, ::amp_proto::ValueError> {
        match value.bytes() {
            b"cow" => ::core::result::Result::Ok(Self::Cow),
            b"ewe" => ::core::result::Result::Ok(Self::Ewe),
            b"goat" => ::core::result::Result::Ok(Self::Goat),
            found => {
                ::core::result::Result::Err(
                    ::amp_proto::ValueError::malformed(
                        "\"cow\", \"ewe\" or \"goat\"",
                        found,
                    ),
                )
            }
        }
    }
}
