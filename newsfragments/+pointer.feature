``pay`` and ``quote`` take a payment pointer, or the URL of an SPSP server, in the place of credentials, and say at once which argument is of a wrong type.
