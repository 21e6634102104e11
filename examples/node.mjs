#!/usr/bin/env node
// Classifies an image file from Node 20 or newer: node node.mjs IMAGE [URL [MODEL]]; API_KEY in the environment.
import { readFile } from "node:fs/promises";
import { classify, Problem } from "./classify.mjs";

const [path, url = "http://127.0.0.1:8000", model] = process.argv.slice(2);
if (!path) {
  console.error("usage: node node.mjs IMAGE [URL [MODEL]]");
  process.exit(2);
}
try {
  const image = new Blob([await readFile(path)]);
  const answer = await classify(url, image, { key: process.env.API_KEY, topK: 3, model });
  for (const { label, score } of answer.predictions) console.log(label, score.toFixed(3));
  if (answer.notice) console.log(answer.notice); // of a model that knows "none of these"
} catch (error) {
  if (error instanceof Problem) {
    console.error(`${error.code}: ${error.detail} (request ${error.request_id})`);
  } else {
    console.error(`error: ${error.cause?.message ?? error.message}`);
  }
  process.exitCode = 1;
}
