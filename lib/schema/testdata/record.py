#!/usr/bin/env python3
"""Asks a real kube-apiserver what it says to the objects in this folder's recordings.

    record.py --server https://127.0.0.1:6443 --token TOKEN kube_apiserver_1.36.json          # compare
    record.py --server https://127.0.0.1:6443 --token TOKEN kube_apiserver_1.36.json --write  # record anew

The CRDs of deploy/crds must be applied there, and objects named "recorded" are made and deleted. An entry has a name,
the object, the object before it if it is an update (of the status, if the object has one; an update of the rest keeps
the status that was there), and the answer: `errors`
(field, reason, message of each cause) or `result` (spec and status as stored). lib/schema/schema_test.cc holds
lib/schema to these answers.
"""
import argparse
import json
import ssl
import sys
import urllib.error
import urllib.request

PLURALS = {"Pool": "pools", "Volume": "volumes", "NodeInventory": "nodeinventories"}


def call(options, method, path, body=None):
    request = urllib.request.Request(
        options.server + path, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + options.token, "Content-Type": "application/json"})
    # The certificate of a test server is its own.
    context = ssl._create_unverified_context()
    try:
        return json.load(urllib.request.urlopen(request, context=context))
    except urllib.error.HTTPError as error:
        return json.load(error)


def answer(options, entry):
    base = "/apis/ashlar.dev/v1alpha1/" + PLURALS[entry["object"]["kind"]]
    wanted = dict(entry["object"], metadata={"name": "recorded"})
    status = wanted.pop("status", None)
    call(options, "DELETE", base + "/recorded")
    if "old" not in entry:
        said = call(options, "POST", base, wanted)
    else:
        made = call(options, "POST", base, dict(entry["old"], metadata={"name": "recorded"}))
        if "status" in entry["old"]:
            made["status"] = entry["old"]["status"]
            made = call(options, "PUT", base + "/recorded/status", made)
        wanted["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"]
        if status is not None:
            wanted["status"] = status
        said = call(options, "PUT", base + "/recorded" + ("" if status is None else "/status"), wanted)
    call(options, "DELETE", base + "/recorded")
    if said["kind"] == "Status":
        causes = said.get("details", {}).get("causes", [])
        return {"errors": [{"field": cause.get("field", ""), "reason": cause["reason"], "message": cause["message"]}
                           for cause in causes]}
    return {"result": {key: said[key] for key in ("spec", "status") if key in said}}


def in_order(said):
    """The server tells errors of one object now in this order, now in that."""
    return {**said, "errors": sorted(said["errors"], key=json.dumps)} if "errors" in said else said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("file")
    options = parser.parse_args()
    with open(options.file) as file:
        entries = json.load(file)
    different = 0
    for entry in entries:
        said = answer(options, entry)
        before = {key: entry.pop(key) for key in ("errors", "result") if key in entry}
        if in_order(said) != in_order(before):
            different += 1
            print(f"{entry['name']}: was {before}, is {said}")
            before = said
        entry.update(before)
    if options.write:
        with open(options.file, "w") as file:
            file.write("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
    print(f"{len(entries)} entries, {different} different")
    return 1 if different and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
