/** @file Where an indexer leaves the tokens that attention behind it is over. */

/** The scratch buffer of the positions, see `ChosenTokens`. Layers behind that of the indexer may read it too. */
export const CHOSEN_TOKENS = "chosenTokens";
