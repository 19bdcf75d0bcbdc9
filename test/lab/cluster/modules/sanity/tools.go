//go:build tools

// Package lab pins csi-sanity, the conformance suite of CSI drivers.
package lab

import _ "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
