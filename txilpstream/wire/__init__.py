"""Bytes and values: the codecs of OER, ILPv4, IL-DCP and STREAM packets."""
