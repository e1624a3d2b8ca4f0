// Gradio's page asks, while it is set up, whether numbers can be written as in its language. A browser reads
// all that it knows of languages for that, 10 ms and more, and each language is one by which Gradio's texts,
// which have no numbers, can be shown. Runs in the page's head.

/** @param {string | readonly string[]} [locales] */
const supportedLocalesOf = (locales) => Intl.getCanonicalLocales(locales);
Object.assign(Intl.NumberFormat, { supportedLocalesOf });
