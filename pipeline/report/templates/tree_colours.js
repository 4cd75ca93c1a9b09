"use strict";
// What the branches of the dendrogram are coloured by, and the legend of it: ``of`` and ``legend`` of a kind and its level.
const treeColours = (data, above) => {
  const PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"];
  const GREY = [150, 150, 150], ORANGE = [213, 94, 0], BLUE = [0, 114, 178];
  const between = (from, to, part) => "rgb(" + from.map((value, i) => Math.round(value + (to[i] - value) * Math.min(1, part))).join() + ")";
  const shade = (part) => between([175, 175, 175], [160, 40, 0], part);
  const strongest = {};
  for (const level in data.targets) strongest[level] = Math.max(1, ...data.targets[level].map((share) => share[0]));

  // Orange where a node is more active on the target than all latents together are, blue where less.
  const odds = (percent) => Math.log2((percent + 0.01) / (100 - percent + 0.01));
  const gap = (level, k) => (odds(data.targets[level][k][0]) - odds(data.overall[level][0])) / 5;

  function group(cut, k) {
    const inside = [k, ...above(k)].filter((node) => data.r[node] >= cut).pop();
    return inside === undefined ? "#999999" : PALETTE[data.first[inside] % PALETTE.length];
  }
  const place = (k, depth) => (data.place[k][depth] && data.place[k][depth][1] >= 50 ? data.place[k][depth][0] : -1);

  const of = (kind, level, k) => ({
    target: () => shade(Math.sqrt(data.targets[level][k][0] / strongest[level])),
    retain: () => between(GREY, gap(level, k) > 0 ? ORANGE : BLUE, Math.abs(gap(level, k))),
    marked: () => (data.marked[level][k] ? shade(0.35 + 0.65 * data.marked[level][k] / data.size[k]) : "#a0a0a0"),
    place: () => (place(k, Number(level)) < 0 ? "#909090" : PALETTE[place(k, Number(level)) % PALETTE.length]),
    cut: () => group(data.cuts[Number(level)], k),
  })[kind]();

  // Pairs of a colour and what it means; ``shown`` are the nodes that are drawn.
  const legend = (kind, level, shown) => ({
    target: () => [[shade(0), "not active on the target"], [shade(1), `up to ${strongest[level]} % of its activation`]],
    retain: () => [[between(GREY, BLUE, 1), "active on what must stay"], [between(GREY, BLUE, 0), "as all latents are"],
      [between(GREY, ORANGE, 1), "active on the target"]],
    marked: () => [["#a0a0a0", "left alone"], [shade(1), "clamped"]],
    cut: () => [[PALETTE[0], "one colour a group; colours repeat"], ["#999999", "above the cut"]],
    place: () => {
      const found = [...new Set(shown.map((k) => place(k, Number(level))).filter((p) => p >= 0))].sort((a, b) => a - b);
      const chips = found.slice(0, 8).map((p) => [PALETTE[p % PALETTE.length], data.places[p]]);
      if (found.length > 8) chips.push(["transparent", `and ${found.length - 8} more; colours repeat`]);
      return [...chips, ["#909090", "no place has half of its activation"]];
    },
  })[kind]();
  return { of, legend };
};
