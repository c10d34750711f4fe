Every public name that an application needs can be imported from ``txilpstream`` itself, which imports nothing before a name is used.
