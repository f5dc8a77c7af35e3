"""What of `twisted.test.test_amp` a foreign server cannot be held against, and why.

Every test that is not listed runs. An id that does not exist, or a class that has grown, fails the
run: a new Twisted is looked at before it is believed.
"""

# Whole classes: how many tests they hold, and why none of them can run.
CANNOT_RUN_CLASSES = {
    "AmpBoxTests": (3, "serialises boxes in memory"),
    "BinaryProtocolTests": (18, "feeds a protocol object that is joined to no server"),
    "CommandDispatchTests": (6, "feeds a dispatcher object that is joined to no server"),
    "CommandLocatorTests": (5, "looks responders up in classes of this process"),
    "CommandTests": (18, "declares commands, and calls a protocol that overrides the network"),
    "DateTimeTests": (4, "encodes and decodes in memory"),
    "DecimalTests": (1, "encodes in memory"),
    "DescriptorTests": (3, "passes file descriptors to a transport in memory"),
    "FloatTests": (2, "encodes in memory"),
    "ListOfDateTimeTests": (2, "encodes and decodes in memory"),
    "ListOfDecimalNanTests": (2, "encodes and decodes in memory"),
    "ListOfDecimalTests": (2, "encodes and decodes in memory"),
    "ListOfIntegersTests": (2, "encodes and decodes in memory"),
    "ListOfOptionalTests": (5, "encodes and decodes in memory"),
    "ListOfStringsTests": (2, "encodes and decodes in memory"),
    "ListOfUnicodeTests": (2, "encodes and decodes in memory"),
    "RemoteAmpErrorTests": (3, "writes exceptions of this process as text"),
    "TLSTests": (4, "iosim's make-believe TLS: certificate objects, not bytes, are exchanged"),
    "UTCTests": (4, "asks time zones of this process"),
}

# Single tests, in the order of test_amp.
CANNOT_RUN = {
    "ParsingTests.test_booleanValues": "encodes and decodes in memory",
    "ParsingTests.test_pathValueRoundTrip": "encodes and decodes in memory",
    "ParsingTests.test_sillyEmptyThing": "feeds a protocol object that is joined to no server",
    "ParsingTests.test_ParsingRoundTrip": "reads the boxes out of the server object",
    "AMPTests.test_interfaceDeclarations": "asks classes of this process for their interfaces",
    "AMPTests.test_brokenReturnValue": "calls a responder of this process",
    "AMPTests.test_simpleReprs": "writes objects of this process as text",
    "AMPTests.test_innerProtocolInRepr": "writes objects of this process as text",
    "AMPTests.test_innerProtocolNotInRepr": "writes objects of this process as text",
    "AMPTests.test_simpleSSLRepr": "writes objects of this process as text",
    "AMPTests.test_helloNoErrorHandling": "flushes an error from the server's log",
    "AMPTests.test_lateAnswer": "closes the server's transport, then answers in its object",
    "AMPTests.test_requiresNoAnswer": "reads `greeted` of the server object",
    "AMPTests.test_requiresNoAnswerFail": "flushes an error from the server's log",
    "AMPTests.test_noAnswerResponderBadAnswer": "flushes an error from the server's log",
    "AMPTests.test_failEarlyOnArgSending": "makes a command in memory",
    "AMPTests.test_errorAfterSwitch": "fails a held-back answer in the server object",
    "AMPTests.test_basicLiteralEmit": "reads the boxes out of the server object",
    "AMPTests.test_basicStructuredEmit": "defines its server class inside the test",
    "TLSNotAvailableTests.test_messageReceivedError": "feeds a server object of this process",
    "LiveFireTLSTests.test_liveFireCustomTLS": "puts a certificate into the server object",
    "WithServerTLSVerificationTests.test_anonymousVerifyingClient": (
        "verifies a certificate that the test makes and the server object is given"
    ),
}

# Tests that need StartTLS of the server, which ours does not speak yet. Once it does, delete this
# table and these tests run; `--with-tls` does so for one run.
NEEDS_TLS = {
    "PlainVanillaLiveFireTests.test_liveFireDefaultTLS": "the server must answer StartTLS",
}
