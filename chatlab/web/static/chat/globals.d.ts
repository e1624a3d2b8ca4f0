// What the server puts before a script that it writes into the page's head.

/** The hosts that links of the conversation may lead to. */
declare const allowed: string[];
