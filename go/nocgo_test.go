// SPDX-License-Identifier: BSL-1.0

//go:build !cgo

package epoque

import (
	"errors"
	"strings"
	"testing"
)

func TestWithoutCgoTheConstructorsSayWhatToDo(t *testing.T) {
	_, queueError := NewUnbounded[int](WithName("orders"))
	_, stackError := NewStack[int]()
	_, statsError := DomainStats()
	for _, err := range []error{queueError, stackError, statsError} {
		if !errors.Is(err, ErrNoCgo) || !strings.Contains(err.Error(), "CGO_ENABLED=1") {
			t.Errorf("the error is %v", err)
		}
	}
}
