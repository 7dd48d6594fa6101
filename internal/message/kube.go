package message

// RescueFailed is said when a Secret in the cluster, named by other, could not
// stand in for a mounted one, for the reason why.
func RescueFailed(other string, why error) error {
	return &Error{Code: "rescue-failed", Topic: Warning,
		What: "no newer token could be read from " + other + ": " + As(why).What}
}
