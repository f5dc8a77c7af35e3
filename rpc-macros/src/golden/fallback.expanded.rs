::core::compile_error! {
    "there is no such role; say `Region`, `Cluster` or `any`"
}
impl ::amp_proto::Arguments for EatCheez {
    const FIELDS: &'static [::amp_proto::FieldSchema] = &[];
    fn encode(
        &self,
        _: &mut ::amp_proto::BoxWriter<'_>,
    ) -> ::core::result::Result<(), ::amp_proto::EncodeError> {
        ::core::unreachable!()
    }
    fn decode(
        _: &::amp_proto::Fields<'_>,
    ) -> ::core::result::Result<Self, ::amp_proto::DecodeError> {
        ::core::unreachable!()
    }
}
impl ::amp_proto::Command for EatCheez {
    type Response = CheezRating;
    type Error = ::amp_proto::Never;
    const NAME: &'static str = "";
    const SCHEMA: ::amp_proto::CommandSchema = ::amp_proto::CommandSchema {
        name: "",
        doc: "",
        answered_by: &[],
        arguments: &[],
        response: &[],
        takes: ::core::option::Option::None,
        gives: ::core::option::Option::None,
        errors: &[],
        requires_answer: true,
    };
}
impl ::amp_proto::AnsweredBy<::amp_proto::Region> for EatCheez {}
impl ::amp_proto::AnsweredBy<::amp_proto::Cluster> for EatCheez {}
impl ::amp_proto::NoAnswer for EatCheez {}
