"""What language models are asked, and where: any endpoint that speaks OpenAI's chat completions.

What lives here: the providers, the words of the question, the reading of the answer, one HTTP request a model. What must not enter:
browsers, claims, the store. Keys are in no log and in no error.

============== =================================================================================
``providers``  which models to ask for a request, and at which address (pure)
``asking``     the question, and what an answer says (pure)
``conforming`` whether a value conforms to a JSON Schema, within a bound of work (pure)
``client``     one model after another, until one gives what was asked for
============== =================================================================================
"""
