package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What kadm says of a group, as one JSON line.
type described struct {
	Listed    bool            `json:"listed"`
	State     string          `json:"state"`
	Members   int             `json:"members"`
	Committed map[int32]int64 `json:"committed"`
	Lag       int64           `json:"lag"`
}

// describe asks for the list, the group, its offsets and its lag; with no members left it deletes the group.
func describe(setup setup) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(setup.Bootstrap))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(client)
	answer := described{Committed: make(map[int32]int64)}
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("list groups: %w", err)
	}
	_, answer.Listed = listed[setup.Group]
	lags, err := admin.Lag(ctx, setup.Group)
	if err != nil {
		return fmt.Errorf("lag: %w", err)
	}
	if err := lags.Error(); err != nil {
		return fmt.Errorf("lag: %w", err)
	}
	lag := lags[setup.Group]
	answer.State, answer.Members, answer.Lag = lag.State, len(lag.Members), lag.Lag.Total()
	offsets, err := admin.FetchOffsets(ctx, setup.Group)
	if err != nil {
		return fmt.Errorf("fetch offsets: %w", err)
	}
	offsets.Each(func(one kadm.OffsetResponse) { answer.Committed[one.Partition] = one.At })
	if answer.Members == 0 {
		if deleted, err := admin.DeleteGroups(ctx, setup.Group); err != nil || deleted.Error() != nil {
			return fmt.Errorf("delete the group: %v, %v", err, deleted.Error())
		}
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
