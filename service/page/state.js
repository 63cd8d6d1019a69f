// What the page knows, in one place. Every module may read it; beside each field stands who writes it.

export const state = {
  stats: null, // the answer to GET /stats (app.js)
  question: null, // what is asked, as question.js makes it (search.js)
  answer: null, // the server's answer to it, null while there is none (search.js)
  narrowed: new Map(), // rank -> labels among which is searched (filters.js)
  added: null, // what a yes or no has put into the catalogue: its question, changes and labels (feedback.js)
  chosen: [], // the matches that were picked to be compared, two at most (compare.js)
};
